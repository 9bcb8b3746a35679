"""What is raced: the jobs, their data, the contest, the limit, and how the outcome is judged."""
