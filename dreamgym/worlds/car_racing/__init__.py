"""The real worlds: building them, preprocessing their frames, drawing them fast, driving them, recording episodes."""
