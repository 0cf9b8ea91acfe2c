"""The one path from images to labels: preprocess, windows, engine, restore on the input's own grid."""
