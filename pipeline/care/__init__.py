"""Care for people and videos in corpora: what is taken out, what is one, what is there twice."""
