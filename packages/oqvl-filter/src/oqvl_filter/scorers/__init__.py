"""What reads a sample and says a number: every scorer, and how it reads pictures and captions."""
