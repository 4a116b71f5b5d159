"""Least-to-most prompting put to a model that others trained: forms of prompts, fairly compared.

The paper compares them on models of 2022 that can no longer be asked. Here they are put to one that
everybody can run, through any server that speaks as OpenAI's does. Each task shows the same
exemplars in each form. They were chosen on other problems than those that are reported.
"""
