"""`yld redub`: a video's face, made to say another sound by a trained model."""
