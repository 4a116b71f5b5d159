"""The book's own Markdown: citations, tooltips, figures, diagrams, formulas.

Each module is an extension of Python-Markdown, so that it serves whatever builds the site: here
MkDocs, whose hook `pages.py` lists them, and any other that names them in `markdown_extensions`,
such as `extensions.glossary: {language: en}`, and has the folder above this one on its path.
"""
