"""Tables and states, computed from run records alone."""
