"""Reading and planning in worker processes, so that no text can stall or kill the gate. See README.md."""
