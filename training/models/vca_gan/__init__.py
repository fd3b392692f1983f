"""VCA-GAN (Kim, Hong and Ro 2021): a spectrogram by attention to the whole clip; a baseline."""
