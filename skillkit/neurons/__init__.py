"""From predictivity to masks: probing, skill neurons, suppression, pruning."""
