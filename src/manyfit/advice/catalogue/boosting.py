"""The parameters of XGBoost, LightGBM and CatBoost.

See https://xgboost.readthedocs.io/en/stable/parameter.html,
https://lightgbm.readthedocs.io/en/stable/Parameters.html and
https://catboost.ai/docs/en/references/training-parameters/.
"""

from collections.abc import Mapping

from manyfit.advice.catalogue.family import Family
from manyfit.space import Domain, Float, Int

_RATE = Float(0.01, 0.3, log=True)
_PENALTY = Float(1e-3, 100.0, log=True)
_SHARE = Float(0.3, 1.0)
_XGBOOST_MORE: Mapping[str, Domain] = {
    "min_child_weight": Float(0.1, 100.0, log=True),
    "max_leaves": Int(4, 256, log=True),
    "max_bin": Int(16, 512, log=True),
    "gamma": Float(0.0, 10.0),
    "reg_alpha": _PENALTY,
    "colsample_bylevel": _SHARE,
    "colsample_bynode": _SHARE,
}
_XGBOOST_SPEED = ("n_jobs", "verbosity", "tree_method", "device", "validate_parameters")
_XGBOOST_PROBLEM = (
    "objective",
    "base_score",
    "missing",
    "eval_metric",
    "scale_pos_weight",
    "monotone_constraints",
    "interaction_constraints",
    "importance_type",
    "enable_categorical",
)
_XGBOOST_ALIASES = {
    "eta": "learning_rate",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "min_split_loss": "gamma",
    "nthread": "n_jobs",
}
# booster="gblinear" adds up linear models, which have none of these parameters.
_OF_TREES = {"booster": (None, "gbtree", "dart")}

# Gradient-based one-side sampling chooses the rows itself, and refuses these.
_BAGGED = {"boosting_type": ("gbdt", "dart", "rf"), "data_sample_strategy": ("bagging",)}

FAMILIES = (
    Family(
        "xgboost",
        ("XGBClassifier", "XGBRegressor", "XGBRanker"),
        {
            "learning_rate": _RATE,
            "max_depth": Int(2, 10),
            "colsample_bytree": _SHARE,
            "subsample": Float(0.4, 1.0),
            "reg_lambda": _PENALTY,
        },
        _XGBOOST_MORE,
        {"n_estimators": 300},
        needs=dict.fromkeys(("max_depth", "colsample_bytree", "subsample"), _OF_TREES),
        length="n_estimators",
        speed=_XGBOOST_SPEED,
        problem=_XGBOOST_PROBLEM,
        aliases=_XGBOOST_ALIASES,
    ),
    Family(
        "xgboost",
        ("XGBRFClassifier", "XGBRFRegressor"),
        {
            "colsample_bynode": _SHARE,
            "subsample": Float(0.4, 1.0),
            "max_depth": Int(3, 16),
        },
        {"reg_lambda": Float(1e-5, 100.0, log=True), "gamma": Float(0.0, 10.0)},
        length="n_estimators",
        speed=_XGBOOST_SPEED,
        problem=_XGBOOST_PROBLEM,
        aliases=_XGBOOST_ALIASES,
    ),
    Family(
        "lightgbm",
        ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
        {
            "learning_rate": _RATE,
            "num_leaves": Int(4, 256, log=True),
            "colsample_bytree": _SHARE,
            "subsample": Float(0.4, 1.0),
            "reg_lambda": _PENALTY,
        },
        {
            "max_depth": Int(2, 16),
            "min_child_samples": Int(2, 200, log=True),
            "min_child_weight": Float(1e-3, 100.0, log=True),
            "min_split_gain": Float(0.0, 10.0),
            "reg_alpha": _PENALTY,
        },
        {"n_estimators": 300, "subsample_freq": 1},
        {
            "learning_rate": {"boosting_type": ("gbdt", "dart", "goss")},
            "subsample": _BAGGED,
            "subsample_freq": _BAGGED,
        },
        length="n_estimators",
        speed=("n_jobs",),
        problem=("objective", "importance_type"),
        aliases={
            "lambda_l1": "reg_alpha",
            "lambda_l2": "reg_lambda",
            "feature_fraction": "colsample_bytree",
            "bagging_fraction": "subsample",
            "bagging_freq": "subsample_freq",
            "min_data_in_leaf": "min_child_samples",
            "min_sum_hessian_in_leaf": "min_child_weight",
            "min_gain_to_split": "min_split_gain",
            "num_iterations": "n_estimators",
            "num_threads": "n_jobs",
        },
    ),
    Family(
        "catboost",
        ("CatBoostClassifier", "CatBoostRegressor"),
        {
            "learning_rate": _RATE,
            "depth": Int(3, 10),
            "l2_leaf_reg": Float(0.3, 100.0, log=True),
            "random_strength": Float(0.1, 10.0, log=True),
        },
        {
            "min_data_in_leaf": Int(1, 200, log=True),
            "max_leaves": Int(4, 64, log=True),
            "border_count": Int(16, 255, log=True),
            "bagging_temperature": Float(0.0, 10.0),
            "subsample": _SHARE,
            "rsm": _SHARE,
        },
        {"iterations": 500},
        length="iterations",
        speed=(
            "thread_count",
            "verbose",
            "logging_level",
            "silent",
            "metric_period",
            "task_type",
            "devices",
            "used_ram_limit",
            "allow_writing_files",
        ),
        problem=("loss_function", "eval_metric", "cat_features"),
        aliases={
            "eta": "learning_rate",
            "max_depth": "depth",
            "reg_lambda": "l2_leaf_reg",
            "n_estimators": "iterations",
            "num_boost_round": "iterations",
            "num_trees": "iterations",
        },
    ),
)
