"""`yld synthesize`: a video's face, registered as in a build, spoken for by a trained model."""
