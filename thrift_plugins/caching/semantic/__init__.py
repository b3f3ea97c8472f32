"""The semantic tier: answers a question with what was answered to the same question in other words. Off by default."""
