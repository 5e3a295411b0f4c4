"""What Statewise is measured against, each on the same wire with the same model file."""
