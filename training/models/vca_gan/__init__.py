"""VCA-GAN (Kim, Hong and Ro 2021): lips to spectrogram by attention to the whole clip; a baseline."""
