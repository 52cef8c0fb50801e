"""Small problems with known answers, on which methods can be watched."""
