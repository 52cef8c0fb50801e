"""Pictures of run records: one module per figure, each a function from a scene to a drawing."""
