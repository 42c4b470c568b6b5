"""What was typed: composing it, and checking it before anything heavy is imported."""
