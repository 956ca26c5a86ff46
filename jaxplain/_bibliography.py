"""BibTeX entries of the papers behind the methods: kind and fields, by key."""

from __future__ import annotations

BIBLIOGRAPHY: dict[str, tuple[str, dict[str, str]]] = {
    "simonyan2014deep": (
        "inproceedings",
        {
            "title": "Deep Inside Convolutional Networks: Visualising Image Classification Models "
            "and Saliency Maps",
            "author": "Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew",
            "booktitle": "ICLR Workshop",
            "year": "2014",
            "eprint": "1312.6034",
        },
    ),
    "shrikumar2016not": (
        "article",
        {
            "title": "Not Just a Black Box: Learning Important Features Through Propagating "
            "Activation Differences",
            "author": "Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, "
            "Anshul",
            "journal": "arXiv:1605.01713",
            "year": "2016",
        },
    ),
    "shrikumar2017learning": (
        "inproceedings",
        {
            "title": "Learning Important Features Through Propagating Activation Differences",
            "author": "Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul",
            "booktitle": "ICML",
            "year": "2017",
            "eprint": "1704.02685",
        },
    ),
    "shrikumar2018technical": (
        "article",
        {
            "title": "Technical Note on Transcription Factor Motif Discovery from Importance "
            "Scores (TF-MoDISco) version 0.5.6.5",
            "author": "Shrikumar, Avanti and Tian, Katherine and Avsec, Žiga and Shcherbina, Anna "
            "and Banerjee, Abhimanyu and Sharmin, Mahfuza and Nair, Surag and Kundaje, Anshul",
            "journal": "arXiv:1811.00416",
            "year": "2018",
        },
    ),
    "altschul1985significance": (
        "article",
        {
            "title": "Significance of Nucleotide Sequence Alignments: A Method for Random Sequence "
            "Permutation That Preserves Dinucleotide and Codon Usage",
            "author": "Altschul, Stephen F. and Erickson, Bruce W.",
            "journal": "Molecular Biology and Evolution",
            "volume": "2",
            "number": "6",
            "year": "1985",
        },
    ),
    "sundararajan2017axiomatic": (
        "inproceedings",
        {
            "title": "Axiomatic Attribution for Deep Networks",
            "author": "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
            "booktitle": "ICML",
            "year": "2017",
            "eprint": "1703.01365",
        },
    ),
    "sundararajan2016gradients": (
        "article",
        {
            "title": "Gradients of Counterfactuals",
            "author": "Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
            "journal": "arXiv:1611.02639",
            "year": "2016",
        },
    ),
    "xu2020attribution": (
        "inproceedings",
        {
            "title": "Attribution in Scale and Space",
            "author": "Xu, Shawn and Venugopalan, Subhashini and Sundararajan, Mukund",
            "booktitle": "CVPR",
            "year": "2020",
            "eprint": "2004.03383",
        },
    ),
    "kapishnikov2021guided": (
        "inproceedings",
        {
            "title": "Guided Integrated Gradients: An Adaptive Path Method for Removing Noise",
            "author": "Kapishnikov, Andrei and Venugopalan, Subhashini and Avci, Besim and Wedin, "
            "Ben and Terry, Michael and Bolukbasi, Tolga",
            "booktitle": "CVPR",
            "year": "2021",
            "eprint": "2106.09788",
        },
    ),
    "erion2021improving": (
        "article",
        {
            "title": "Improving Performance of Deep Learning Models with Axiomatic Attribution "
            "Priors and Expected Gradients",
            "author": "Erion, Gabriel and Janizek, Joseph D. and Sturmfels, Pascal and Lundberg, "
            "Scott M. and Lee, Su-In",
            "journal": "Nature Machine Intelligence",
            "year": "2021",
            "eprint": "1906.10670",
        },
    ),
    "lundberg2017unified": (
        "inproceedings",
        {
            "title": "A Unified Approach to Interpreting Model Predictions",
            "author": "Lundberg, Scott M. and Lee, Su-In",
            "booktitle": "NeurIPS",
            "year": "2017",
            "eprint": "1705.07874",
        },
    ),
    "smilkov2017smoothgrad": (
        "article",
        {
            "title": "SmoothGrad: Removing Noise by Adding Noise",
            "author": "Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Viegas, Fernanda and "
            "Wattenberg, Martin",
            "journal": "arXiv:1706.03825",
            "year": "2017",
        },
    ),
    "hooker2019benchmark": (
        "inproceedings",
        {
            "title": "A Benchmark for Interpretability Methods in Deep Neural Networks",
            "author": "Hooker, Sara and Erhan, Dumitru and Kindermans, Pieter-Jan and Kim, Been",
            "booktitle": "NeurIPS",
            "year": "2019",
            "eprint": "1806.10758",
        },
    ),
    "adebayo2018local": (
        "article",
        {
            "title": "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to "
            "Parameter Values",
            "author": "Adebayo, Julius and Gilmer, Justin and Goodfellow, Ian and Kim, Been",
            "journal": "arXiv:1810.03307",
            "year": "2018",
        },
    ),
    "sturmfels2020visualizing": (
        "article",
        {
            "title": "Visualizing the Impact of Feature Attribution Baselines",
            "author": "Sturmfels, Pascal and Lundberg, Scott and Lee, Su-In",
            "journal": "Distill",
            "year": "2020",
        },
    ),
    "bach2015pixel": (
        "article",
        {
            "title": "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise "
            "Relevance Propagation",
            "author": "Bach, Sebastian and Binder, Alexander and Montavon, Grégoire and Klauschen, "
            "Frederick and Müller, Klaus-Robert and Samek, Wojciech",
            "journal": "PLoS ONE",
            "volume": "10",
            "number": "7",
            "year": "2015",
            "doi": "10.1371/journal.pone.0130140",
        },
    ),
    "montavon2017explaining": (
        "article",
        {
            "title": "Explaining Nonlinear Classification Decisions with Deep Taylor Decomposition",
            "author": "Montavon, Grégoire and Lapuschkin, Sebastian and Binder, Alexander and "
            "Samek, Wojciech and Müller, Klaus-Robert",
            "journal": "Pattern Recognition",
            "volume": "65",
            "year": "2017",
            "eprint": "1512.02479",
        },
    ),
    "montavon2018methods": (
        "article",
        {
            "title": "Methods for Interpreting and Understanding Deep Neural Networks",
            "author": "Montavon, Grégoire and Samek, Wojciech and Müller, Klaus-Robert",
            "journal": "Digital Signal Processing",
            "volume": "73",
            "year": "2018",
            "eprint": "1706.07979",
        },
    ),
    "montavon2019layer": (
        "incollection",
        {
            "title": "Layer-Wise Relevance Propagation: An Overview",
            "author": "Montavon, Grégoire and Binder, Alexander and Lapuschkin, Sebastian and "
            "Samek, Wojciech and Müller, Klaus-Robert",
            "booktitle": "Explainable AI: Interpreting, Explaining and Visualizing Deep Learning",
            "series": "LNCS",
            "volume": "11700",
            "publisher": "Springer",
            "year": "2019",
            "doi": "10.1007/978-3-030-28954-6_10",
        },
    ),
    "kohlbrenner2020towards": (
        "inproceedings",
        {
            "title": "Towards Best Practice in Explaining Neural Network Decisions with LRP",
            "author": "Kohlbrenner, Maximilian and Bauer, Alexander and Nakajima, Shinichi and "
            "Binder, Alexander and Samek, Wojciech and Lapuschkin, Sebastian",
            "booktitle": "IJCNN",
            "year": "2020",
            "eprint": "1910.09840",
        },
    ),
    "lapuschkin2019unmasking": (
        "article",
        {
            "title": "Unmasking Clever Hans Predictors and Assessing What Machines Really Learn",
            "author": "Lapuschkin, Sebastian and Wäldchen, Stephan and Binder, Alexander and "
            "Montavon, Grégoire and Samek, Wojciech and Müller, Klaus-Robert",
            "journal": "Nature Communications",
            "volume": "10",
            "year": "2019",
            "eprint": "1902.10178",
        },
    ),
    "anders2021software": (
        "article",
        {
            "title": "Software for Dataset-wide XAI: From Local Explanations to Global Insights "
            "with Zennit, CoRelAy, and ViRelAy",
            "author": "Anders, Christopher J. and Neumann, David and Samek, Wojciech and Müller, "
            "Klaus-Robert and Lapuschkin, Sebastian",
            "journal": "arXiv:2106.13200",
            "year": "2021",
        },
    ),
    "andeol2021learning": (
        "article",
        {
            "title": "Learning Domain Invariant Representations by Joint Wasserstein Distance "
            "Minimization",
            "author": "Andéol, Léo and Kawakami, Yusei and Wada, Yuichiro and Kanamori, Takafumi "
            "and Müller, Klaus-Robert and Montavon, Grégoire",
            "journal": "arXiv:2106.04923",
            "year": "2021",
        },
    ),
    "achtibat2024attnlrp": (
        "inproceedings",
        {
            "title": "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers",
            "author": "Achtibat, Reduan and Hatefi, Sayed Mohammad Vakilzadeh and Dreyer, "
            "Maximilian and Jain, Aakriti and Wiegand, Thomas and Lapuschkin, Sebastian and "
            "Samek, Wojciech",
            "booktitle": "ICML",
            "year": "2024",
            "eprint": "2402.05602",
        },
    ),
    "ali2022xai": (
        "inproceedings",
        {
            "title": "XAI for Transformers: Better Explanations through Conservative Propagation",
            "author": "Ali, Ameen and Schnake, Thomas and Eberle, Oliver and Montavon, Grégoire "
            "and Müller, Klaus-Robert and Wolf, Lior",
            "booktitle": "ICML",
            "year": "2022",
            "eprint": "2202.07304",
        },
    ),
    "arras2019explaining": (
        "incollection",
        {
            "title": "Explaining and Interpreting LSTMs",
            "author": "Arras, Leila and Arjona-Medina, José and Widrich, Michael and Montavon, "
            "Grégoire and Gillhofer, Michael and Müller, Klaus-Robert and Hochreiter, Sepp and "
            "Samek, Wojciech",
            "booktitle": "Explainable AI: Interpreting, Explaining and Visualizing Deep Learning",
            "series": "LNCS",
            "volume": "11700",
            "publisher": "Springer",
            "year": "2019",
            "eprint": "1909.12114",
        },
    ),
    "zhang2018top": (
        "article",
        {
            "title": "Top-Down Neural Attention by Excitation Backprop",
            "author": "Zhang, Jianming and Bargal, Sarah Adel and Lin, Zhe and Brandt, Jonathan "
            "and Shen, Xiaohui and Sclaroff, Stan",
            "journal": "International Journal of Computer Vision",
            "volume": "126",
            "number": "10",
            "year": "2018",
            "eprint": "1608.00507",
        },
    ),
    "springenberg2015striving": (
        "inproceedings",
        {
            "title": "Striving for Simplicity: The All Convolutional Net",
            "author": "Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and "
            "Riedmiller, Martin",
            "booktitle": "ICLR Workshop",
            "year": "2015",
            "eprint": "1412.6806",
        },
    ),
    "zeiler2014visualizing": (
        "inproceedings",
        {
            "title": "Visualizing and Understanding Convolutional Networks",
            "author": "Zeiler, Matthew D. and Fergus, Rob",
            "booktitle": "ECCV",
            "year": "2014",
            "eprint": "1311.2901",
        },
    ),
    "kindermans2018learning": (
        "inproceedings",
        {
            "title": "Learning How to Explain Neural Networks: PatternNet and PatternAttribution",
            "author": "Kindermans, Pieter-Jan and Schütt, Kristof T. and Alber, Maximilian and "
            "Müller, Klaus-Robert and Erhan, Dumitru and Kim, Been and Dähne, Sven",
            "booktitle": "ICLR",
            "year": "2018",
            "eprint": "1705.05598",
        },
    ),
    "dhamdhere2019how": (
        "inproceedings",
        {
            "title": "How Important Is a Neuron?",
            "author": "Dhamdhere, Kedar and Sundararajan, Mukund and Yan, Qiqi",
            "booktitle": "International Conference on Learning Representations",
            "year": "2019",
            "eprint": "1805.12233",
        },
    ),
    "leino2018influence": (
        "inproceedings",
        {
            "title": "Influence-Directed Explanations for Deep Convolutional Networks",
            "author": "Leino, Klas and Sen, Shayak and Datta, Anupam and Fredrikson, Matt and "
            "Li, Linyi",
            "booktitle": "IEEE International Test Conference",
            "year": "2018",
            "eprint": "1802.03788",
        },
    ),
    "vig2020causal": (
        "inproceedings",
        {
            "title": "Investigating Gender Bias in Language Models Using Causal Mediation Analysis",
            "author": "Vig, Jesse and Gehrmann, Sebastian and Belinkov, Yonatan and Qian, Sharon "
            "and Nevo, Daniel and Singer, Yaron and Shieber, Stuart",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2020",
            "eprint": "2004.12265",
        },
    ),
    "meng2022locating": (
        "inproceedings",
        {
            "title": "Locating and Editing Factual Associations in {GPT}",
            "author": "Meng, Kevin and Bau, David and Andonian, Alex and Belinkov, Yonatan",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2022",
            "eprint": "2202.05262",
        },
    ),
    "syed2023attribution": (
        "misc",
        {
            "title": "Attribution Patching Outperforms Automated Circuit Discovery",
            "author": "Syed, Aaquib and Rager, Can and Conmy, Arthur",
            "year": "2023",
            "eprint": "2310.10348",
        },
    ),
    "abnar2020quantifying": (
        "inproceedings",
        {
            "title": "Quantifying Attention Flow in Transformers",
            "author": "Abnar, Samira and Zuidema, Willem",
            "booktitle": "Annual Meeting of the Association for Computational Linguistics",
            "year": "2020",
            "eprint": "2005.00928",
        },
    ),
    "chefer2021generic": (
        "inproceedings",
        {
            "title": "Generic Attention-Model Explainability for Interpreting Bi-Modal and "
            "Encoder-Decoder Transformers",
            "author": "Chefer, Hila and Gur, Shir and Wolf, Lior",
            "booktitle": "International Conference on Computer Vision",
            "year": "2021",
            "eprint": "2103.15679",
        },
    ),
    "achtibat2023attribution": (
        "article",
        {
            "title": "From Attribution Maps to Human-Understandable Explanations through Concept "
            "Relevance Propagation",
            "author": "Achtibat, Reduan and Dreyer, Maximilian and Eisenbraun, Ilona and "
            "Bosse, Sebastian and Wiegand, Thomas and Samek, Wojciech and Lapuschkin, Sebastian",
            "journal": "Nature Machine Intelligence",
            "volume": "5",
            "year": "2023",
            "eprint": "2206.03208",
        },
    ),
    "selvaraju2017grad": (
        "inproceedings",
        {
            "title": "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based "
            "Localization",
            "author": "Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and "
            "Vedantam, Ramakrishna and Parikh, Devi and Batra, Dhruv",
            "booktitle": "ICCV",
            "year": "2017",
            "eprint": "1610.02391",
        },
    ),
    "chattopadhyay2018grad": (
        "inproceedings",
        {
            "title": "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep "
            "Convolutional Networks",
            "author": "Chattopadhay, Aditya and Sarkar, Anirban and Howlader, Prantik and "
            "Balasubramanian, Vineeth N.",
            "booktitle": "WACV",
            "year": "2018",
            "eprint": "1710.11063",
        },
    ),
    "draelos2020use": (
        "article",
        {
            "title": "Use HiResCAM Instead of Grad-CAM for Faithful Explanations of Convolutional "
            "Neural Networks",
            "author": "Draelos, Rachel Lea and Carin, Lawrence",
            "journal": "arXiv:2011.08891",
            "year": "2020",
        },
    ),
    "jiang2021layercam": (
        "article",
        {
            "title": "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
            "author": "Jiang, Peng-Tao and Zhang, Chang-Bin and Hou, Qibin and Cheng, Ming-Ming "
            "and Wei, Yunchao",
            "journal": "IEEE Transactions on Image Processing",
            "volume": "30",
            "year": "2021",
        },
    ),
    "fu2020axiom": (
        "inproceedings",
        {
            "title": "Axiom-Based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
            "author": "Fu, Ruigang and Hu, Qingyong and Dong, Xiaohu and Guo, Yulan and Gao, "
            "Yinghui and Li, Biao",
            "booktitle": "BMVC",
            "year": "2020",
            "eprint": "2008.02312",
        },
    ),
    "muhammad2020eigen": (
        "inproceedings",
        {
            "title": "Eigen-CAM: Class Activation Map Using Principal Components",
            "author": "Muhammad, Mohammed Bany and Yeasin, Mohammed",
            "booktitle": "IJCNN",
            "year": "2020",
            "eprint": "2008.00299",
        },
    ),
    "gildenblat2021pytorch": (
        "misc",
        {
            "title": "PyTorch Library for CAM Methods",
            "author": "Gildenblat, Jacob and contributors",
            "howpublished": "GitHub: jacobgil/pytorch-grad-cam",
            "year": "2021",
        },
    ),
    "wang2020score": (
        "inproceedings",
        {
            "title": "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural "
            "Networks",
            "author": "Wang, Haofan and Wang, Zifan and Du, Mengnan and Yang, Fan and Zhang, "
            "Zijian and Ding, Sirui and Mardziel, Piotr and Hu, Xia",
            "booktitle": "CVPR Workshops",
            "year": "2020",
            "eprint": "1910.01279",
        },
    ),
    "desai2020ablation": (
        "inproceedings",
        {
            "title": "Ablation-CAM: Visual Explanations for Deep Convolutional Network via "
            "Gradient-Free Localization",
            "author": "Desai, Saurabh and Ramaswamy, Harish G.",
            "booktitle": "WACV",
            "year": "2020",
        },
    ),
    "kim2018interpretability": (
        "inproceedings",
        {
            "title": "Interpretability Beyond Feature Attribution: Quantitative Testing with "
            "Concept Activation Vectors (TCAV)",
            "author": "Kim, Been and Wattenberg, Martin and Gilmer, Justin and Cai, Carrie and "
            "Wexler, James and Viegas, Fernanda and Sayres, Rory",
            "booktitle": "ICML",
            "year": "2018",
            "eprint": "1711.11279",
        },
    ),
    "phipson2010permutation": (
        "article",
        {
            "title": "Permutation P-values Should Never Be Zero: Calculating Exact P-values When "
            "Permutations Are Randomly Drawn",
            "author": "Phipson, Belinda and Smyth, Gordon K.",
            "journal": "Statistical Applications in Genetics and Molecular Biology",
            "volume": "9",
            "number": "1",
            "year": "2010",
        },
    ),
    "fel2023craft": (
        "inproceedings",
        {
            "title": "CRAFT: Concept Recursive Activation FacTorization for Explainability",
            "author": "Fel, Thomas and Picard, Agustin and Bethune, Louis and Boissin, Thibaut and "
            "Vigouroux, David and Colin, Julien and Cad{\\`e}ne, R{\\'e}mi and Serre, Thomas",
            "booktitle": "CVPR",
            "year": "2023",
            "eprint": "2211.10154",
        },
    ),
    "lee1999learning": (
        "article",
        {
            "title": "Learning the Parts of Objects by Non-negative Matrix Factorization",
            "author": "Lee, Daniel D. and Seung, H. Sebastian",
            "journal": "Nature",
            "volume": "401",
            "pages": "788--791",
            "year": "1999",
        },
    ),
    "jansen1999analysis": (
        "article",
        {
            "title": "Analysis of Variance Designs for Model Output",
            "author": "Jansen, Michiel J. W.",
            "journal": "Computer Physics Communications",
            "volume": "117",
            "pages": "35--43",
            "year": "1999",
        },
    ),
    "craven1996extracting": (
        "inproceedings",
        {
            "title": "Extracting Tree-Structured Representations of Trained Networks",
            "author": "Craven, Mark W. and Shavlik, Jude W.",
            "booktitle": "NeurIPS",
            "pages": "24--30",
            "year": "1996",
        },
    ),
    "molnar2022interpretable": (
        "book",
        {
            "title": "Interpretable Machine Learning: A Guide for Making Black Box Models "
            "Explainable",
            "author": "Molnar, Christoph",
            "edition": "2",
            "year": "2022",
            "url": "https://christophm.github.io/interpretable-ml-book",
        },
    ),
    "ribeiro2016why": (
        "inproceedings",
        {
            "title": "``Why Should I Trust You?'': Explaining the Predictions of Any Classifier",
            "author": "Ribeiro, Marco Tulio and Singh, Sameer and Guestrin, Carlos",
            "booktitle": "KDD",
            "year": "2016",
            "eprint": "1602.04938",
        },
    ),
    "visani2022statistical": (
        "article",
        {
            "title": "Statistical Stability Indices for LIME: Obtaining Reliable Explanations for "
            "Machine Learning Models",
            "author": "Visani, Giorgio and Bagli, Enrico and Chesani, Federico and Poluzzi, "
            "Alessandro and Capuzzo, Davide",
            "journal": "Journal of the Operational Research Society",
            "year": "2022",
            "eprint": "2001.11757",
        },
    ),
    "petsiuk2018rise": (
        "inproceedings",
        {
            "title": "RISE: Randomized Input Sampling for Explanation of Black-box Models",
            "author": "Petsiuk, Vitali and Das, Abir and Saenko, Kate",
            "booktitle": "BMVC",
            "year": "2018",
            "eprint": "1806.07421",
        },
    ),
    "fel2021look": (
        "inproceedings",
        {
            "title": "Look at the Variance! Efficient Black-box Explanations with Sobol-based "
            "Sensitivity Analysis",
            "author": "Fel, Thomas and Cad{\\`e}ne, R{\\'e}mi and Chalvidal, Mathieu and Cord, "
            "Matthieu and Vigouroux, David and Serre, Thomas",
            "booktitle": "NeurIPS",
            "year": "2021",
            "eprint": "2111.04138",
        },
    ),
    "breiman2001random": (
        "article",
        {
            "title": "Random Forests",
            "author": "Breiman, Leo",
            "journal": "Machine Learning",
            "volume": "45",
            "number": "1",
            "pages": "5--32",
            "year": "2001",
        },
    ),
    "fisher2019all": (
        "article",
        {
            "title": "All Models are Wrong, but Many are Useful: Learning a Variable's Importance "
            "by Studying an Entire Class of Prediction Models Simultaneously",
            "author": "Fisher, Aaron and Rudin, Cynthia and Dominici, Francesca",
            "journal": "Journal of Machine Learning Research",
            "volume": "20",
            "number": "177",
            "pages": "1--81",
            "year": "2019",
        },
    ),
    "achanta2012slic": (
        "article",
        {
            "title": "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods",
            "author": "Achanta, Radhakrishna and Shaji, Appu and Smith, Kevin and Lucchi, "
            'Aurelien and Fua, Pascal and S{\\"u}sstrunk, Sabine',
            "journal": "IEEE Transactions on Pattern Analysis and Machine Intelligence",
            "volume": "34",
            "number": "11",
            "pages": "2274--2282",
            "year": "2012",
        },
    ),
    "vedaldi2008quick": (
        "inproceedings",
        {
            "title": "Quick Shift and Kernel Methods for Mode Seeking",
            "author": "Vedaldi, Andrea and Soatto, Stefano",
            "booktitle": "ECCV",
            "year": "2008",
        },
    ),
    "shapley1953value": (
        "incollection",
        {
            "title": "A Value for n-Person Games",
            "author": "Shapley, Lloyd S.",
            "booktitle": "Contributions to the Theory of Games II",
            "publisher": "Princeton University Press",
            "pages": "307--317",
            "year": "1953",
        },
    ),
    "covert2021improving": (
        "inproceedings",
        {
            "title": "Improving KernelSHAP: Practical Shapley Value Estimation Using Linear "
            "Regression",
            "author": "Covert, Ian and Lee, Su-In",
            "booktitle": "AISTATS",
            "year": "2021",
            "eprint": "2012.01536",
        },
    ),
    "castro2009polynomial": (
        "article",
        {
            "title": "Polynomial Calculation of the Shapley Value Based on Sampling",
            "author": "Castro, Javier and G{\\'o}mez, Daniel and Tejada, Juan",
            "journal": "Computers \\& Operations Research",
            "volume": "36",
            "number": "5",
            "pages": "1726--1730",
            "year": "2009",
        },
    ),
    "mitchell2022sampling": (
        "article",
        {
            "title": "Sampling Permutations for Shapley Value Estimation",
            "author": "Mitchell, Rory and Cooper, Joshua and Frank, Eibe and Holmes, Geoffrey",
            "journal": "Journal of Machine Learning Research",
            "volume": "23",
            "year": "2022",
            "eprint": "2104.12199",
        },
    ),
    "janizek2021explaining": (
        "article",
        {
            "title": "Explaining Explanations: Axiomatic Feature Interactions for Deep Networks",
            "author": "Janizek, Joseph D. and Sturmfels, Pascal and Lee, Su-In",
            "journal": "Journal of Machine Learning Research",
            "volume": "22",
            "number": "104",
            "year": "2021",
            "eprint": "2002.04138",
        },
    ),
    "grabisch1999axiomatic": (
        "article",
        {
            "title": "An Axiomatic Approach to the Concept of Interaction Among Players in "
            "Cooperative Games",
            "author": "Grabisch, Michel and Roubens, Marc",
            "journal": "International Journal of Game Theory",
            "volume": "28",
            "pages": "547--565",
            "year": "1999",
        },
    ),
    "sundararajan2020shapley": (
        "inproceedings",
        {
            "title": "The Shapley Taylor Interaction Index",
            "author": "Sundararajan, Mukund and Dhamdhere, Kedar and Agarwal, Ashish",
            "booktitle": "ICML",
            "year": "2020",
            "eprint": "1902.05622",
        },
    ),
    "bordt2023shapley": (
        "inproceedings",
        {
            "title": "From Shapley Values to Generalized Additive Models and Back",
            "author": "Bordt, Sebastian and von Luxburg, Ulrike",
            "booktitle": "AISTATS",
            "year": "2023",
            "eprint": "2209.04012",
        },
    ),
    "lundberg2020local": (
        "article",
        {
            "title": "From Local Explanations to Global Understanding with Explainable AI for "
            "Trees",
            "author": "Lundberg, Scott M. and Erion, Gabriel and Chen, Hugh and DeGrave, Alex and "
            "Prutkin, Jordan M. and Nair, Bala and Katz, Ronit and Himmelfarb, Jonathan and "
            "Bansal, Nisha and Lee, Su-In",
            "journal": "Nature Machine Intelligence",
            "volume": "2",
            "pages": "56--67",
            "year": "2020",
            "eprint": "1905.04610",
        },
    ),
    "owen1977values": (
        "incollection",
        {
            "title": "Values of Games with a Priori Unions",
            "author": "Owen, Guillermo",
            "booktitle": "Mathematical Economics and Game Theory",
            "pages": "76--88",
            "publisher": "Springer",
            "year": "1977",
        },
    ),
    "lopez2009relationship": (
        "article",
        {
            "title": "On the Relationship Between Shapley and Owen Values",
            "author": "L{\\'o}pez, Susana and Saboya, Martha",
            "journal": "Central European Journal of Operations Research",
            "volume": "17",
            "pages": "415--423",
            "year": "2009",
        },
    ),
    "erhan2009visualizing": (
        "techreport",
        {
            "title": "Visualizing Higher-Layer Features of a Deep Network",
            "author": "Erhan, Dumitru and Bengio, Yoshua and Courville, Aaron and Vincent, Pascal",
            "institution": "University of Montreal",
            "number": "1341",
            "year": "2009",
        },
    ),
    "caruana1999case": (
        "inproceedings",
        {
            "title": "Case-Based Explanation of Non-Case-Based Learning Methods",
            "author": "Caruana, Rich and Kangarloo, Hooshang and Dionisio, John David and Sinha, "
            "Usha and Johnson, David",
            "booktitle": "AMIA Symposium",
            "year": "1999",
        },
    ),
    "papernot2018deep": (
        "article",
        {
            "title": "Deep k-Nearest Neighbors: Towards Confident, Interpretable and Robust Deep "
            "Learning",
            "author": "Papernot, Nicolas and McDaniel, Patrick",
            "journal": "arXiv:1803.04765",
            "year": "2018",
        },
    ),
    "kim2016examples": (
        "inproceedings",
        {
            "title": "Examples Are Not Enough, Learn to Criticize! Criticism for Interpretability",
            "author": "Kim, Been and Khanna, Rajiv and Koyejo, Oluwasanmi",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2016",
        },
    ),
    "garreau2018large": (
        "article",
        {
            "title": "Large Sample Analysis of the Median Heuristic",
            "author": "Garreau, Damien and Jitkrittum, Wittawat and Kanagawa, Motonobu",
            "journal": "arXiv:1707.07269",
            "year": "2018",
        },
    ),
    "gurumoorthy2019efficient": (
        "inproceedings",
        {
            "title": "Efficient Data Representation by Selecting Prototypes with Importance "
            "Weights",
            "author": "Gurumoorthy, Karthik S. and Dhurandhar, Amit and Cecchi, Guillermo and "
            "Aggarwal, Charu",
            "booktitle": "International Conference on Data Mining",
            "year": "2019",
            "eprint": "1707.01212",
        },
    ),
    "nguyen2016synthesizing": (
        "inproceedings",
        {
            "title": "Synthesizing the Preferred Inputs for Neurons in Neural Networks via Deep "
            "Generator Networks",
            "author": "Nguyen, Anh and Dosovitskiy, Alexey and Yosinski, Jason and Brox, Thomas "
            "and Clune, Jeff",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2016",
        },
    ),
    "olah2017feature": (
        "article",
        {
            "title": "Feature Visualization",
            "author": "Olah, Chris and Mordvintsev, Alexander and Schubert, Ludwig",
            "journal": "Distill",
            "year": "2017",
        },
    ),
    "koh2017understanding": (
        "inproceedings",
        {
            "title": "Understanding Black-Box Predictions via Influence Functions",
            "author": "Koh, Pang Wei and Liang, Percy",
            "booktitle": "International Conference on Machine Learning",
            "year": "2017",
            "eprint": "1703.04730",
        },
    ),
    "agarwal2017second": (
        "article",
        {
            "title": "Second-Order Stochastic Optimization for Machine Learning in Linear Time",
            "author": "Agarwal, Naman and Bullins, Brian and Hazan, Elad",
            "journal": "Journal of Machine Learning Research",
            "volume": "18",
            "year": "2017",
        },
    ),
    "schioppa2022scaling": (
        "inproceedings",
        {
            "title": "Scaling Up Influence Functions",
            "author": "Schioppa, Andrea and Zablotskaia, Polina and Vilar, David and Sokolov, "
            "Artem",
            "booktitle": "AAAI Conference on Artificial Intelligence",
            "year": "2022",
            "eprint": "2112.03052",
        },
    ),
    "pruthi2020estimating": (
        "inproceedings",
        {
            "title": "Estimating Training Data Influence by Tracing Gradient Descent",
            "author": "Pruthi, Garima and Liu, Frederick and Kale, Satyen and Sundararajan, Mukund",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2020",
            "eprint": "2002.08484",
        },
    ),
    "yeh2018representer": (
        "inproceedings",
        {
            "title": "Representer Point Selection for Explaining Deep Neural Networks",
            "author": "Yeh, Chih-Kuan and Kim, Joon and Yen, Ian En-Hsu and Ravikumar, Pradeep K.",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2018",
            "eprint": "1811.09720",
        },
    ),
    "mahendran2015understanding": (
        "inproceedings",
        {
            "title": "Understanding Deep Image Representations by Inverting Them",
            "author": "Mahendran, Aravindh and Vedaldi, Andrea",
            "booktitle": "Conference on Computer Vision and Pattern Recognition",
            "year": "2015",
            "eprint": "1412.0035",
        },
    ),
    "samek2017evaluating": (
        "article",
        {
            "title": "Evaluating the Visualization of What a Deep Neural Network Has Learned",
            "author": "Samek, Wojciech and Binder, Alexander and Montavon, Grégoire and "
            "Lapuschkin, Sebastian and Müller, Klaus-Robert",
            "journal": "IEEE Transactions on Neural Networks and Learning Systems",
            "year": "2017",
            "eprint": "1509.06321",
        },
    ),
    "rieger2020irof": (
        "misc",
        {
            "title": "IROF: A Low Resource Evaluation Metric for Explanation Methods",
            "author": "Rieger, Laura and Hansen, Lars Kai",
            "year": "2020",
            "eprint": "2003.08747",
        },
    ),
    "rong2022consistent": (
        "inproceedings",
        {
            "title": "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
            "author": "Rong, Yao and Leemann, Tobias and Borisov, Vadim and Kasneci, Gjergji "
            "and Kasneci, Enkelejda",
            "booktitle": "International Conference on Machine Learning",
            "year": "2022",
            "eprint": "2202.00449",
        },
    ),
    "bluecher2024decoupling": (
        "article",
        {
            "title": "Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI "
            "Benchmarks",
            "author": "Blücher, Stefan and Vielhaben, Johanna and Strodthoff, Nils",
            "journal": "arXiv:2401.06654",
            "year": "2024",
        },
    ),
    "adebayo2018sanity": (
        "inproceedings",
        {
            "title": "Sanity Checks for Saliency Maps",
            "author": "Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, "
            "Ian and Hardt, Moritz and Kim, Been",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2018",
            "eprint": "1810.03292",
        },
    ),
    "hedstrom2024sanity": (
        "article",
        {
            "title": "Sanity Checks Revisited: An Exploration to Repair the Model Parameter "
            "Randomisation Test",
            "author": "Hedström, Anna and Weber, Leander and Lapuschkin, Sebastian and Höhne, "
            "Marina M.-C.",
            "journal": "arXiv:2401.06465",
            "year": "2024",
        },
    ),
    "sixt2020explanations": (
        "inproceedings",
        {
            "title": "When Explanations Lie: Why Many Modified BP Attributions Fail",
            "author": "Sixt, Leon and Granz, Maximilian and Landgraf, Tim",
            "booktitle": "International Conference on Machine Learning",
            "year": "2020",
            "eprint": "1912.09818",
        },
    ),
    "nguyen2020quantitative": (
        "article",
        {
            "title": "On Quantitative Aspects of Model Interpretability",
            "author": "Nguyen, An-phi and Martínez, María Rodríguez",
            "journal": "arXiv:2007.07584",
            "year": "2020",
        },
    ),
    "kindermans2019unreliability": (
        "incollection",
        {
            "title": "The (Un)reliability of Saliency Methods",
            "author": "Kindermans, Pieter-Jan and Hooker, Sara and Adebayo, Julius and Alber, "
            "Maximilian and Schütt, Kristof T. and Dähne, Sven and Erhan, Dumitru and Kim, Been",
            "booktitle": "Explainable AI: Interpreting, Explaining and Visualizing Deep Learning",
            "year": "2019",
            "eprint": "1711.00867",
        },
    ),
    "yeh2019infidelity": (
        "inproceedings",
        {
            "title": "On the (In)fidelity and Sensitivity of Explanations",
            "author": "Yeh, Chih-Kuan and Hsieh, Cheng-Yu and Suggala, Arun and Inouye, David "
            "I. and Ravikumar, Pradeep",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2019",
            "eprint": "1901.09392",
        },
    ),
    "alvarezmelis2018robustness": (
        "article",
        {
            "title": "On the Robustness of Interpretability Methods",
            "author": "Alvarez-Melis, David and Jaakkola, Tommi S.",
            "journal": "arXiv:1806.08049",
            "year": "2018",
        },
    ),
    "agarwal2022rethinking": (
        "article",
        {
            "title": "Rethinking Stability for Attribution-based Explanations",
            "author": "Agarwal, Chirag and Johnson, Nari and Pawelczyk, Martin and Krishna, "
            "Satyapriya and Saxena, Eshika and Zitnik, Marinka and Lakkaraju, Himabindu",
            "journal": "arXiv:2203.06877",
            "year": "2022",
        },
    ),
    "dasgupta2022framework": (
        "inproceedings",
        {
            "title": "Framework for Evaluating Faithfulness of Local Explanations",
            "author": "Dasgupta, Sanjoy and Frost, Nave and Moshkovitz, Michal",
            "booktitle": "International Conference on Machine Learning",
            "year": "2022",
            "eprint": "2202.00734",
        },
    ),
    "chalasani2020concise": (
        "inproceedings",
        {
            "title": "Concise Explanations of Neural Networks Using Adversarial Training",
            "author": "Chalasani, Prasad and Chen, Jiefeng and Chowdhury, Amrita Roy and Jha, "
            "Somesh and Wu, Xi",
            "booktitle": "International Conference on Machine Learning",
            "year": "2020",
            "eprint": "1810.06583",
        },
    ),
    "bhatt2020evaluating": (
        "inproceedings",
        {
            "title": "Evaluating and Aggregating Feature-based Model Explanations",
            "author": "Bhatt, Umang and Weller, Adrian and Moura, José M. F.",
            "booktitle": "International Joint Conference on Artificial Intelligence",
            "year": "2020",
            "eprint": "2005.00631",
        },
    ),
    "arras2022clevr": (
        "article",
        {
            "title": "CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of "
            "Neural Network Explanations",
            "author": "Arras, Leila and Osman, Ahmed and Samek, Wojciech",
            "journal": "Information Fusion",
            "year": "2022",
            "eprint": "2003.07258",
        },
    ),
    "theiner2022interpretable": (
        "inproceedings",
        {
            "title": "Interpretable Semantic Photo Geolocation",
            "author": "Theiner, Jonas and Müller-Budack, Eric and Ewerth, Ralph",
            "booktitle": "Winter Conference on Applications of Computer Vision",
            "year": "2022",
            "eprint": "2104.14995",
        },
    ),
    "fawcett2006introduction": (
        "article",
        {
            "title": "An Introduction to ROC Analysis",
            "author": "Fawcett, Tom",
            "journal": "Pattern Recognition Letters",
            "year": "2006",
        },
    ),
    "ariasduart2022focus": (
        "inproceedings",
        {
            "title": "Focus! Rating XAI Methods and Finding Biases",
            "author": "Arias-Duart, Anna and Parés, Ferran and Garcia-Gasulla, Dario and "
            "Giménez-Ábalos, Victor",
            "booktitle": "International Conference on Fuzzy Systems",
            "year": "2022",
            "eprint": "2109.15035",
        },
    ),
    "alvarezmelis2018towards": (
        "inproceedings",
        {
            "title": "Towards Robust Interpretability with Self-Explaining Neural Networks",
            "author": "Alvarez-Melis, David and Jaakkola, Tommi S.",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2018",
            "eprint": "1806.07538",
        },
    ),
    "ancona2018towards": (
        "inproceedings",
        {
            "title": "Towards Better Understanding of Gradient-based Attribution Methods for "
            "Deep Neural Networks",
            "author": "Ancona, Marco and Ceolini, Enea and Öztireli, Cengiz and Gross, Markus",
            "booktitle": "International Conference on Learning Representations",
            "year": "2018",
            "eprint": "1711.06104",
        },
    ),
    "arya2019one": (
        "article",
        {
            "title": "One Explanation Does Not Fit All: A Toolkit and Taxonomy of AI "
            "Explainability Techniques",
            "author": "Arya, Vijay and others",
            "journal": "arXiv:1909.03012",
            "year": "2019",
        },
    ),
    "luss2019leveraging": (
        "article",
        {
            "title": "Leveraging Latent Features for Local Explanations",
            "author": "Luss, Ronny and others",
            "journal": "arXiv:1905.12698",
            "year": "2019",
        },
    ),
    "deyoung2020eraser": (
        "inproceedings",
        {
            "title": "ERASER: A Benchmark to Evaluate Rationalized NLP Models",
            "author": "DeYoung, Jay and Jain, Sarthak and Rajani, Nazneen Fatema and Lehman, "
            "Eric and Xiong, Caiming and Socher, Richard and Wallace, Byron C.",
            "booktitle": "Association for Computational Linguistics",
            "year": "2020",
            "eprint": "1911.03429",
        },
    ),
    "hooker2019roar": (
        "inproceedings",
        {
            "title": "A Benchmark for Interpretability Methods in Deep Neural Networks",
            "author": "Hooker, Sara and Erhan, Dumitru and Kindermans, Pieter-Jan and Kim, Been",
            "booktitle": "Advances in Neural Information Processing Systems",
            "year": "2019",
            "eprint": "1806.10758",
        },
    ),
    "efron1987better": (
        "article",
        {
            "title": "Better Bootstrap Confidence Intervals",
            "author": "Efron, Bradley",
            "journal": "Journal of the American Statistical Association",
            "volume": "82",
            "year": "1987",
        },
    ),
    "fisher1935design": (
        "book",
        {
            "title": "The Design of Experiments",
            "author": "Fisher, Ronald A.",
            "publisher": "Oliver and Boyd",
            "year": "1935",
        },
    ),
    "pahde2023optimizing": (
        "inproceedings",
        {
            "title": "Optimizing Explanations by Network Canonization and Hyperparameter Search",
            "author": "Pahde, Frederik and Yolcu, Galip Ümit and Binder, Alexander and Samek, "
            "Wojciech and Lapuschkin, Sebastian",
            "booktitle": "Conference on Computer Vision and Pattern Recognition Workshops",
            "year": "2023",
            "eprint": "2211.17174",
        },
    ),
    "efron1993introduction": (
        "book",
        {
            "title": "An Introduction to the Bootstrap",
            "author": "Efron, Bradley and Tibshirani, Robert J.",
            "publisher": "Chapman and Hall",
            "year": "1993",
        },
    ),
    "hedstrom2023quantus": (
        "article",
        {
            "title": "Quantus: An Explainable AI Toolkit for Responsible Evaluation of Neural "
            "Network Explanations and Beyond",
            "author": "Hedström, Anna and Weber, Leander and Krakowczyk, Daniel and Bareeva, "
            "Dilyara and Motzkus, Franz and Samek, Wojciech and Lapuschkin, Sebastian and Höhne, "
            "Marina M.-C.",
            "journal": "Journal of Machine Learning Research",
            "year": "2023",
            "eprint": "2202.06861",
        },
    ),
}
