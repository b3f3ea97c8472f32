"""What several tactics read text with: scripts and lengths, and the signs of what a prompt asks for."""
