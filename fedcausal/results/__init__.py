"""What a study leaves behind: answers, the run folder, and both in words."""
