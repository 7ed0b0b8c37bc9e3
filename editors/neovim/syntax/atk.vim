" Colours for atk graphs.
if exists("b:current_syntax")
  finish
endif

syntax include @atkSql syntax/sql.vim
unlet! b:current_syntax

syntax match   atkComment "#.*$"
syntax match   atkDoc "##.*$"
syntax region  atkString start=+"+ skip=+\\"+ end=+"+ oneline
syntax region  atkText start=+"""+ end=+"""+ contains=@atkSql keepend
syntax keyword atkStatement use param type model profile graph test return as from
syntax keyword atkClause where let check keep expect until given else
syntax keyword atkOperator and or not in
syntax keyword atkConstant true false null
syntax keyword atkType str int float bool path
syntax match   atkNumber "\<\d[0-9_]*\(\.\d\+\)\?\([eE][+-]\?\d\+\)\?\>"
syntax match   atkArrow "->"

highlight default link atkComment Comment
highlight default link atkDoc SpecialComment
highlight default link atkString String
highlight default link atkText String
highlight default link atkStatement Statement
highlight default link atkClause Keyword
highlight default link atkOperator Operator
highlight default link atkConstant Constant
highlight default link atkType Type
highlight default link atkNumber Number
highlight default link atkArrow Special

let b:current_syntax = "atk"
