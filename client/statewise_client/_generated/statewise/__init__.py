"""Generated from the contracts in `protos/`; do not edit."""
