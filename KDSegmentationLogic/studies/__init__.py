"""A declarative experiment: teachers, soft targets, students, evaluation, bundles; resumes."""
