"""Data sets, augmentation and one trainer for teachers and students."""
