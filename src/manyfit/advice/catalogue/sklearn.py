"""The parameters of scikit-learn's estimators; see https://scikit-learn.org/stable/api/."""

from collections.abc import Mapping

from manyfit.advice.catalogue.family import Family
from manyfit.space import Choice, Domain, Float, Int

_C = Float(1e-3, 1e3, log=True)
_GAMMA = Float(1e-4, 10.0, log=True)
_ALPHA = Float(1e-4, 1e3, log=True)
_SHARE = Float(0.1, 1.0)
_RATE = Float(0.02, 0.3, log=True)
_WEIGHT = Choice([None, "balanced"])
_LEAF = Int(1, 50, log=True)
_TREE: Mapping[str, Domain] = {
    "max_depth": Int(2, 30),
    "min_samples_split": Int(2, 100, log=True),
    "max_leaf_nodes": Int(8, 1024, log=True),
    "min_impurity_decrease": Float(1e-8, 0.1, log=True),
    "min_weight_fraction_leaf": Float(0.0, 0.2),
    "ccp_alpha": Float(1e-6, 0.1, log=True),
}
_KERNELS = {"gamma": {"kernel": ("rbf", "poly", "sigmoid")}}
_NGRAMS: Mapping[str, Mapping[str, tuple[str | None, ...]]] = {
    "ngram_range": {"analyzer": ("word", "char", "char_wb")},
    "min_df": {"vocabulary": (None,)},
}
_QUIET = ("verbose", "warm_start")
_PARALLEL = (*_QUIET, "n_jobs")
_SOLVER = (*_QUIET, "max_iter", "tol")

_TREES = (
    Family(
        "sklearn.ensemble",
        ("RandomForestClassifier", "RandomForestRegressor"),
        {"max_features": _SHARE, "min_samples_leaf": _LEAF, "max_samples": Float(0.2, 1.0)},
        _TREE,
        needs={"max_samples": {"bootstrap": (True,)}},
        length="n_estimators",
        speed=_PARALLEL,
        problem=("criterion", "monotonic_cst", "oob_score"),
    ),
    Family(
        "sklearn.ensemble",
        ("ExtraTreesClassifier", "ExtraTreesRegressor"),
        {"max_features": _SHARE, "min_samples_leaf": _LEAF, "bootstrap": Choice([False, True])},
        _TREE,
        needs={"bootstrap": {"oob_score": (False,), "max_samples": (None,)}},
        length="n_estimators",
        speed=_PARALLEL,
        problem=("criterion", "monotonic_cst", "oob_score"),
    ),
    Family(
        "sklearn.tree",
        ("DecisionTreeClassifier", "DecisionTreeRegressor"),
        {
            "min_samples_leaf": Int(1, 200, log=True),
            "max_features": _SHARE,
            "splitter": Choice(["best", "random"]),
        },
        _TREE,
        problem=("criterion", "monotonic_cst"),
    ),
    Family(
        "sklearn.ensemble",
        ("GradientBoostingClassifier", "GradientBoostingRegressor"),
        {
            "learning_rate": _RATE,
            "max_depth": Int(2, 10),
            "max_features": _SHARE,
            "subsample": Float(0.4, 1.0),
        },
        {**_TREE, "max_depth": Int(2, 10), "min_samples_leaf": _LEAF},
        {"n_estimators": 300},
        length="n_estimators",
        speed=_QUIET,
        problem=("loss", "criterion"),
    ),
    Family(
        "sklearn.ensemble",
        ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
        {
            "learning_rate": _RATE,
            "max_leaf_nodes": Int(5, 255, log=True),
            "l2_regularization": Float(1e-3, 1e3, log=True),
            "max_features": _SHARE,
        },
        {
            "max_depth": Int(2, 30),
            "min_samples_leaf": Int(2, 200, log=True),
            "max_bins": Int(16, 255, log=True),
        },
        {"max_iter": 300},
        length="max_iter",
        speed=_QUIET,
        problem=("loss", "categorical_features", "monotonic_cst", "interaction_cst", "scoring"),
    ),
    Family(
        "sklearn.ensemble",
        ("AdaBoostClassifier", "AdaBoostRegressor"),
        {"learning_rate": Float(0.03, 3.0, log=True)},
        {"n_estimators": Int(20, 500, log=True)},
        length="n_estimators",
    ),
    Family(
        "sklearn.ensemble",
        ("BaggingClassifier", "BaggingRegressor"),
        {"max_features": _SHARE, "max_samples": Float(0.2, 1.0)},
        length="n_estimators",
        speed=_PARALLEL,
        problem=("oob_score",),
    ),
)
_LINEAR = (
    Family(
        "sklearn.linear_model",
        ("LogisticRegression",),
        {"C": _C, "class_weight": _WEIGHT},
        {"l1_ratio": Float(0.0, 1.0)},
        needs={"C": {"penalty": ("l1", "l2", "elasticnet", "deprecated")}},
        speed=(*_SOLVER, "n_jobs", "solver", "dual", "intercept_scaling"),
    ),
    Family(
        "sklearn.linear_model",
        ("Ridge", "RidgeClassifier"),
        {"alpha": _ALPHA},
        speed=("max_iter", "tol", "copy_X", "solver"),
        problem=("positive",),
    ),
    Family(
        "sklearn.linear_model",
        ("Lasso",),
        {"alpha": _ALPHA},
        speed=("max_iter", "tol", "copy_X", "precompute", "warm_start"),
        problem=("positive",),
    ),
    Family(
        "sklearn.linear_model",
        ("ElasticNet",),
        {"alpha": _ALPHA, "l1_ratio": Float(0.0, 1.0)},
        speed=("max_iter", "tol", "copy_X", "precompute", "warm_start"),
        problem=("positive",),
    ),
    Family(
        "sklearn.linear_model",
        ("SGDClassifier", "SGDRegressor"),
        {
            "alpha": Float(1e-7, 0.1, log=True),
            "l1_ratio": Float(0.0, 1.0),
            "average": Choice([False, True]),
        },
        {"eta0": Float(1e-4, 1.0, log=True), "power_t": Float(0.1, 1.0)},
        {"penalty": "elasticnet"},
        needs={"l1_ratio": {"penalty": ("elasticnet",)}},
        speed=_SOLVER,
    ),
    Family(
        "sklearn.svm",
        ("SVC",),
        {"C": _C, "gamma": _GAMMA, "class_weight": _WEIGHT},
        {"degree": Int(2, 5), "coef0": Float(0.0, 10.0)},
        needs=_KERNELS,
        speed=("verbose", "max_iter", "tol", "cache_size", "shrinking"),
        problem=("probability", "decision_function_shape", "break_ties"),
    ),
    Family(
        "sklearn.svm",
        ("SVR",),
        {"C": _C, "gamma": _GAMMA, "epsilon": Float(1e-3, 1.0, log=True)},
        {"degree": Int(2, 5), "coef0": Float(0.0, 10.0)},
        needs=_KERNELS,
        speed=("verbose", "max_iter", "tol", "cache_size", "shrinking"),
    ),
    Family(
        "sklearn.svm",
        ("LinearSVC",),
        {"C": _C, "class_weight": _WEIGHT},
        speed=("verbose", "max_iter", "tol", "dual", "intercept_scaling"),
    ),
    Family(
        "sklearn.svm",
        ("LinearSVR",),
        {"C": _C, "epsilon": Float(1e-3, 1.0, log=True)},
        speed=("verbose", "max_iter", "tol", "dual", "intercept_scaling"),
    ),
    Family(
        "sklearn.kernel_ridge",
        ("KernelRidge",),
        {"alpha": Float(1e-5, 10.0, log=True), "gamma": _GAMMA},
        {"degree": Int(2, 5), "coef0": Float(0.0, 10.0)},
        {"kernel": "rbf"},
        {"gamma": {"kernel": ("rbf", "laplacian", "poly", "polynomial", "sigmoid", "chi2")}},
    ),
)
_OTHERS = (
    Family(
        "sklearn.neighbors",
        ("KNeighborsClassifier", "KNeighborsRegressor"),
        {
            "n_neighbors": Int(1, 60, log=True),
            "weights": Choice(["uniform", "distance"]),
            "p": Choice([1, 2]),
        },
        needs={"p": {"metric": ("minkowski",)}},
        speed=("n_jobs", "leaf_size"),
    ),
    Family(
        "sklearn.neural_network",
        ("MLPClassifier", "MLPRegressor"),
        {
            "learning_rate_init": Float(1e-4, 0.1, log=True),
            "hidden_layer_sizes": Choice([(32,), (128,), (512,), (128, 128)]),
            "alpha": Float(1e-6, 1.0, log=True),
            "activation": Choice(["relu", "tanh"]),
        },
        {
            "batch_size": Int(16, 512, log=True),
            "momentum": Float(0.0, 0.99),
            "beta_1": Float(0.5, 0.99),
        },
        needs={"learning_rate_init": {"solver": ("adam", "sgd")}},
        length="max_iter",
        speed=_QUIET,
    ),
    Family("sklearn.naive_bayes", ("GaussianNB",), {"var_smoothing": Float(1e-9, 0.1, log=True)}),
    Family(
        "sklearn.naive_bayes",
        ("MultinomialNB", "BernoulliNB", "ComplementNB"),
        {"alpha": Float(1e-3, 10.0, log=True), "fit_prior": Choice([True, False])},
        needs={"fit_prior": {"class_prior": (None,)}},
    ),
    Family(
        "sklearn.discriminant_analysis",
        ("LinearDiscriminantAnalysis",),
        {"shrinkage": Float(0.0, 1.0)},
        fixed={"solver": "lsqr"},
        needs={"shrinkage": {"solver": ("lsqr", "eigen"), "covariance_estimator": (None,)}},
        speed=("store_covariance",),
    ),
    Family(
        "sklearn.discriminant_analysis",
        ("QuadraticDiscriminantAnalysis",),
        {"reg_param": Float(0.0, 1.0)},
        needs={"reg_param": {"solver": ("svd",)}},
        speed=("store_covariance",),
    ),
)
_TRANSFORMERS = (
    Family(
        "sklearn.decomposition",
        ("PCA",),
        {"n_components": Float(0.5, 0.999)},
        {"whiten": Choice([False, True])},
        needs={"n_components": {"svd_solver": ("auto", "full", "covariance_eigh")}},
        speed=("copy", "iterated_power", "n_oversamples"),
    ),
    Family(
        "sklearn.feature_selection",
        ("SelectPercentile",),
        {"percentile": Int(5, 100, log=True)},
    ),
    Family("sklearn.preprocessing", ("PolynomialFeatures",), {"degree": Int(1, 3)}),
    Family(
        "sklearn.preprocessing",
        ("SplineTransformer",),
        {"n_knots": Int(3, 20, log=True), "degree": Int(1, 3)},
        needs={"n_knots": {"knots": ("uniform", "quantile")}},
    ),
    Family(
        "sklearn.feature_extraction.text",
        ("TfidfVectorizer",),
        {
            "ngram_range": Choice([(1, 1), (1, 2)]),
            "min_df": Int(1, 20, log=True),
            "sublinear_tf": Choice([False, True]),
        },
        {"max_df": Float(0.3, 1.0), "norm": Choice(["l1", "l2"])},
        needs=_NGRAMS,
    ),
    Family(
        "sklearn.feature_extraction.text",
        ("CountVectorizer",),
        {
            "ngram_range": Choice([(1, 1), (1, 2)]),
            "min_df": Int(1, 20, log=True),
            "binary": Choice([False, True]),
        },
        {"max_df": Float(0.3, 1.0)},
        needs=_NGRAMS,
    ),
    Family(
        "sklearn.impute", ("KNNImputer",), {"n_neighbors": Int(1, 30, log=True)}, speed=("copy",)
    ),
)

FAMILIES = (*_TREES, *_LINEAR, *_OTHERS, *_TRANSFORMERS)
