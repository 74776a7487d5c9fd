"""What every room needs: errors, files, progress, provenance, the artifact store, statistics."""
