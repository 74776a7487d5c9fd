"""Soft prompts, BitFit and adapters: trained, evaluated, saved, exchanged."""
