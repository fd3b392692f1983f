"""From a speaking face to clips: where they are cut, what is rendered."""
