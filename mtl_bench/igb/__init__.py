"""The soft actor-critic of IGBv2: policy, temperature, replay and reward."""
