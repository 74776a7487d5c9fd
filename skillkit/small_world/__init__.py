"""The small world: texts with a known truth, and the models pretrained on them."""
