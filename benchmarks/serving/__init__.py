"""The benchmark `serving`: stateful servers side by side, under the same load on the same core."""
