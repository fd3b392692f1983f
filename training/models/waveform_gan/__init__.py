"""Waveform GAN (Vougioukas et al. 2019): silent video to sound, without a spectrogram between."""
