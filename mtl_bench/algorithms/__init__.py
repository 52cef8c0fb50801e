"""Where the T task losses of an update come from, and how well the tasks are solved."""
