"""Studies and sweeps: parameters, notebooks through papermill, results."""
