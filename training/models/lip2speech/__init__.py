"""Lip2Speech: speech from lips with attention, in a voice that comes from the face."""
