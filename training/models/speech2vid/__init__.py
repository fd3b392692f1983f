"""Speech2Vid (Chung, Jamaludin and Zisserman 2017): a face that says what is heard, from stills."""
