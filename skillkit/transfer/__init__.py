"""Prompts on other tasks and other models, and what predicts the transfer."""
