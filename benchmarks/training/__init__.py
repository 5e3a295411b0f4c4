"""How fast a recurrent layer trains, beside torch's own."""
