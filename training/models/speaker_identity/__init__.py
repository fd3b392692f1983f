"""A voice from a face: Lip2Speech's speaker identity module."""
