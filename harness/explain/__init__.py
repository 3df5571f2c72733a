"""Why a pod went where it went: what was noted of the scheduler's view, brought back and asked again."""
