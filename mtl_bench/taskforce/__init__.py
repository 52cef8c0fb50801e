"""TaskForce: cooperating agents that weigh the task gradients."""
