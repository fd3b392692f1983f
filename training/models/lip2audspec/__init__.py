"""Lip2AudSpec (Akbari et al. 2018): auditory spectrograms by way of an autoencoder; a baseline."""
