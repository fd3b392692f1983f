"""What workers run on: Ray, or processes of our own where a run can use one worker alone."""
