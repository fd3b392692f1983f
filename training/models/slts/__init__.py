"""SLTS (Niu and Mak, WACV 2023): lip-to-speech that learns and corrects its data's lags."""
