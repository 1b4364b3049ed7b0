"""Every route, asked by everybody for everything: who may do what is declared here once more, apart from the code."""
