"""From a graph to native code: emitters, schedules, the plan of memory, the kernel cache."""
