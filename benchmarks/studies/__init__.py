"""What is measured beside the race: growth, scaling, memory, calls, lessons; and the plots."""
