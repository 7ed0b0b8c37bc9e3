"""Training: from rows to a job folder, from a job folder to a model.

A trainer is never imported into this process: they pin versions that exclude each other. What is
trained is written to a folder, with everything that decides the result, and a script there is run
by an interpreter of one's choice.

    tokenizer   a model folder's own tokenizer and chat template, read without the trainer's libraries
    encoding    rows to tokens and labels: what is trained is known before anything is
    order       which rows in which step, epoch after epoch
    report      what can be said of it beforehand
    recipes     defaults, by method
    job         the folder, its key, what is in it
    running     the trainer as a process: followed, stopped, and told of where it fails

Nothing here knows a graph, a store or a node.
"""
