"""Mean opinion scores: a listening test as one page, and the table from its answers.

`page` writes the test and its key, `answers` reads what raters send back.
"""
