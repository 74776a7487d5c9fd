"""Facts and their neurons: clozes, attribution, knowledge neurons, editing."""
